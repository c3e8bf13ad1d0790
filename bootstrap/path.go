package bootstrap

import "github.com/zkboot/zkboot/strictyaml"

// Path is a place in a Spec, such as hosts["zk2"].host_key.
type Path = strictyaml.Path
