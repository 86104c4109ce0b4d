package netreactor_test

import (
	"flag"
	"testing"
)

// The parallel conformance tests wait for seconds, so more of them than there are cores run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8")
	m.Run()
}
