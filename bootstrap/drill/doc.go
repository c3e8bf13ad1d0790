// Package drill does something bad to a member of a formed ensemble while clients write and
// read, and tells what they saw: how long the longest of them waited, whether an acknowledged
// write was lost, whether two leaders took writes, whether what was read could have come
// from one register, and whether all members hold the same data in the end. A Pulse is the
// writer alone, around work that somebody else does.
//
// Every attempt to write is kept with its time and its outcome: acknowledged, refused, or
// unknown when the connection was lost before an answer came. An unknown write may have
// been done, and may still be at any later time; nothing is concluded from it.
//
// It refuses an ensemble that is not whole to begin with, one of fewer than three voters,
// and faults that nobody can undo from outside on hosts that are not of a lab. It writes to
// znodes of its own at the root alone and removes them; those that a killed run left are
// removed by the next. That of a pulse is ephemeral.
package drill
