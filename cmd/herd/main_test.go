package main

import (
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }
