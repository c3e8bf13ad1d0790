package bootstrap

import "strconv"

// Path is a place in a Spec, such as hosts["zk2"].host_key. It is a plain string,
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
