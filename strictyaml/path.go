package strictyaml

import (
	"strconv"
	"strings"
)

// Path is a place in a document, such as hosts["zk2"].host_key. It is a plain string,
// so that deriving two children of one parent can never alias (the bug of
// slice-backed paths), and it reads the same in a file and in Terraform.
type Path string

// Field returns the path of the named field of p.
func (p Path) Field(name string) Path {
	if p == "" {
		return Path(name)
	}
	return p + "." + Path(name)
}

// Key returns the path of the entry of the map at p that has the given key.
func (p Path) Key(key string) Path { return p + "[" + Path(strconv.Quote(key)) + "]" }

// Index returns the path of the i-th element of the list at p, counted from 0.
func (p Path) Index(i int) Path { return p + "[" + Path(strconv.Itoa(i)) + "]" }

// Parent returns the path that p was derived from, the empty one at the top.
func (p Path) Parent() Path {
	s := string(p)
	if strings.HasSuffix(s, "]") {
		// A key is quoted, so that a bracket or dot within it is never taken for ours.
		for i := len(s) - 2; i >= 0; i-- {
			if s[i] != '[' {
				continue
			}
			in := s[i+1 : len(s)-1]
			if _, err := strconv.Unquote(in); err == nil {
				return Path(s[:i])
			}
			if _, err := strconv.Atoi(in); err == nil {
				return Path(s[:i])
			}
		}
	}
	i := strings.LastIndexByte(s, '.')
	return Path(s[:max(i, 0)])
}
