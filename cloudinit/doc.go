// Package cloudinit writes what a host wants as user-data for its first boot, so that the
// first apply finds it there and has less to do.
//
// The order of use is Take for each role's Desired, which says what first boot can bring and
// what is left to apply, and Render, which writes the rest as a #cloud-config document and
// refuses what Take would leave out. Values, paths and contents are those of the Desired:
// there is no second table of packages, settings or limits.
//
// User-data is no place for secrets: every process on the host can ask the metadata service
// for it, and the cloud keeps it. Nothing that a role makes on the host gets in. The one
// exception is an SSH host key (HostKey), which somebody asked for by name.
//
// The package is pure: no files, no network, no clock, no random numbers. One input gives
// the same bytes every time.
package cloudinit
