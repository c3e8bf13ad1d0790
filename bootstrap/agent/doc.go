// Package agent implements bootstrap.Host on the machine it runs on, and carries
// it over a byte stream.
//
//   - [Local] is the Host itself: it looks, holds the lock, checks the premises of
//     steps, keeps the manifests and changes things.
//   - [Serve] offers a Host on a stream, such as the standard input and output of a
//     process started over SSH ([ServeStdio]).
//   - [Connect] is the other end of that stream and again a bootstrap.Host.
//
// On the wire the agent greets with one line, "zkagent/1 SHA256\n", so that its
// beginning can be found behind the banner of a login shell. After it the stream
// belongs to yamux, in which either side opens streams: the operator one for each
// call, the agent one for each archive that lies on the operator's machine. A call
// is a request, any number of progress notes and one result, each a JSON document
// behind its length. Closing the stream of a call cancels it.
//
// An agent ends when its stream does, or after 30 seconds without a sign of life.
// It first lets what it has begun come to an end, and holds the lock until then: a
// dpkg that runs is never cut off.
//
// The package refuses to decide anything. What a host shall have is in the steps;
// a step whose premise no longer holds is refused before anything is changed. It
// knows no ensemble and no SSH, and hands to the host no file of the operator's
// that a step did not name.
package agent
