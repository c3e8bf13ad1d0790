package zookeeper

import (
	"slices"
	"strings"
)

// child is a znode below the path of a service.
type child struct {
	name string
	entry
	mzxid, czxid int64
	watched      bool // its data was read, and a change of it will be told
}

// children are sorted by name.
type children []child

// find returns where a child is, or would be.
func (c children) find(name string) (int, bool) {
	return slices.BinarySearchFunc(c, name, func(x child, name string) int { return strings.Compare(x.name, name) })
}

// names returns those whose data is known, with news of it to come, or those of which that is
// not so.
func (c children) names(watched bool) []string {
	var out []string
	for i := range c {
		if c[i].watched == watched {
			out = append(out, c[i].name)
		}
	}
	return out
}

// replaced returns children of these names, with what is known of those that were there.
func (c children) replaced(names []string) children {
	slices.Sort(names)
	out := make(children, len(names))
	for i, name := range names {
		if n, ok := c.find(name); ok {
			out[i] = c[n]
		} else {
			out[i].name = name
		}
	}
	return out
}

// put replaces a child that is there.
func (c children) put(x child) {
	if i, ok := c.find(x.name); ok {
		c[i] = x
	}
}

// drop takes a child away.
func (c *children) drop(name string) {
	if i, ok := c.find(name); ok {
		*c = slices.Delete(*c, i, i+1)
	}
}
