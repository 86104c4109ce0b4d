// Package processtest runs herds of real processes for tests. It builds the binary, creates the listeners and passes them
// to the servers, so that no port is fixed, and ends processes that a test leaves running.
package processtest
