package gnetreactor_test

import (
	"flag"
	"testing"
)

// The parallel tests of the conformance suite wait for seconds: more of them than cores run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8")
	m.Run()
}
