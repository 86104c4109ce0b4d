// Package guard stands between questions and a network provider, which costs money with every
// request and fails in its own ways. A lookup has one deadline, the timeout or an earlier one of the
// caller's; within it come, in this order, the breakers (a provider that keeps failing, or refuses the
// key, is left alone for a while), the budget (so many attempts a day, whatever happens to the process,
// and a share of them for each client address), the rate (so many attempts a second), the attempt
// itself, and what may be tried again. What is left without an answer can be given one from other
// data, which then says so.
//
// The rate comes last, so that only what is sent waits for it and counts in it. A caller with a queue
// of its own waits for it there, see Admit.
//
// That identical questions become one, how many are in flight, and whose turn it is, is the business
// of whoever asks.
package guard
