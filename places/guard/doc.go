// Package guard protects a network places provider, which costs money with every request and may fail.
// A lookup has one deadline: the timeout, or the caller's if that is earlier. Within it, each attempt
// passes these stages, in this order:
//
//  1. two circuit breakers: one opens after consecutive failures, the other when the provider rejects
//     the API key
//  2. the budget: attempts per day, counted across restarts, and a share of them per client address
//  3. the rate limit: attempts per second
//  4. the request itself
//
// A transient failure is retried. A lookup that fails in the end may be answered by a fallback provider;
// the answer then says so.
//
// The rate limit comes last, so that only attempts that are sent wait for it and count in it. Callers with
// a queue of their own wait for it there, see Admit.
//
// Callers merge identical lookups, limit those in flight, and decide whose turn it is.
package guard
