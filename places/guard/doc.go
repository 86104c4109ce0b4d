// Package guard stands between questions and a network provider, which costs money with every
// request and fails in its own ways. A lookup has one deadline, the timeout or an earlier one of the
// caller's; within it come, in this order, the breakers (a provider that keeps failing, or refuses the
// key, is left alone for a while), the rate (so many attempts a second), the budget (so many attempts
// a day, whatever happens to the process, and a share of them for each client address), the attempt
// itself, and what may be tried again. What is left without an answer can be given one from other
// data, which then says so.
//
// That identical questions become one, how many are in flight, and whose turn it is, is the business
// of whoever asks.
package guard
