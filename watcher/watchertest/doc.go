// Package watchertest gives tests of zkwatch the real programs it lives between, as plain
// processes on loopback, and a bad network between them: ZooKeeper servers that can be
// stopped, killed and paused one by one, and a TCP proxy that refuses, hangs, delays and
// resets. It stands in for none of them: what is not installed fails the test. It is for
// tests alone and links into no program.
package watchertest
