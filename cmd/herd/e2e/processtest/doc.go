// Package processtest runs herds of real processes for tests: it builds the binary, makes the
// listeners and hands them over, so that no port is fixed, and ends whatever a test leaves behind.
package processtest
