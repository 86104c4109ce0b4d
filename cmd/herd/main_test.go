package main

import (
	"testing"

	"serverherd/cmd/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }
