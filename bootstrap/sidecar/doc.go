// Package sidecar is the role of application hosts: HAProxy in front of every service that
// an application calls, and zkwatch beside it, which keeps HAProxy in line with the
// registry and announces what runs on the host.
//
// It wants on each host the package haproxy, zkwatch from the archive that the operator's
// program carries, zkwatch's file and user, and two units: haproxy.service, which adds one
// file of zkwatch's to the operator's haproxy.cfg, and zkwatch.service. There is one
// sidecar on a host, whatever spec it comes from, so its files carry no name of a spec.
//
// haproxy.cfg is never written. HAProxy is restarted when its unit changes and for nothing
// else; zkwatch is restarted whenever its file or program changes, which nobody notices.
// haproxy is not held against apt: it faces traffic, so security updates must not wait for
// zkboot, and Debian's package reloads it (postinst of 2.6.12-1), which cuts nothing off.
//
// The package refuses a HAProxy that is too old for runtime changes, addresses that
// another program listens on, a unit file of somebody else and a second sidecar. It does
// not order hosts: zkwatch bears a registry that is not there yet.
package sidecar
