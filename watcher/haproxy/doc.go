// Package haproxy is the sink that makes a local HAProxy serve sets of instances without
// dropping a request: watcher.Sink over the runtime API, with a reload only for what the
// runtime API cannot do.
//
//	set -> targets -> plan -> commands          (every change of instances)
//	routes -> document -> file -> check -> reload (a change of structure)
//
// Each route is a frontend and a backend, "zkwatch-web:in" and "zkwatch-web" for the route
// web, in the one configuration file that this package owns. A backend has numbered slots: server lines
// with fixed names and ids, the free ones disabled. An instance takes a free slot, keeps
// it while it lives, and is told apart by its address alone, so that the running process
// and the file are all the memory there is.
//
// It refuses to take another instance's address on a server that is in rotation or has
// connections, to believe an answer that it does not know word by word, to write a file
// that `haproxy -c` rejects, to reload twice for one thing that did not load, and to put
// anything of a registry entry but numbers and an IP address into commands or the file.
// It never writes the operator's own configuration and never starts or stops HAProxy.
package haproxy
