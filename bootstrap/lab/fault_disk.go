package lab

import "slices"

// dataDirs are the directories of a member's data. The first is that of the transaction log,
// which is what a full disk is about when nothing else is said.
var dataDirs = []string{"/var/lib/zookeeper-log", "/var/lib/zookeeper"}

func isDataDir(dir string) bool { return slices.Contains(dataDirs, dir) }
