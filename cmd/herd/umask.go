package main

import "syscall"

// onlyOwner keeps what this process and its children create from other users: logs, journal and counts say where
// clients are, or what they may. What exists keeps its mode. serve and up call it before they create anything.
func onlyOwner() { syscall.Umask(0o077) }
