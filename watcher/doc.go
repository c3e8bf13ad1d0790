// Package watcher is the daemon of an application host: it watches services in a registry,
// makes the local proxy serve exactly what is there, and announces the host's own services
// while their checks pass.
//
//	Source -> settle -> guard -> Sink          Check -> Registrar
//
// What travels is always the whole set of a service, never a difference, so that a lost
// message costs a delay and no truth. What could not be read is Unknown and changes
// nothing; only a verified Empty empties, and a sudden loss of many instances is held
// first. It refuses to guess: unreadable is not empty, and not registered is not dead.
// Registries and proxies are packages below this one, handed in by the caller.
package watcher
