//go:build !linux

package lab

const noAffinity = "only Linux lets a process choose its cores"

func twoCores() (a, b int, err error) { return 0, 0, Cannot(noAffinity) }

func onCore(int, func() error) error { return Cannot(noAffinity) }

func selfOnCore(int) (undo func(), err error) { return nil, Cannot(noAffinity) }
