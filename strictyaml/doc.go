// Package strictyaml reads YAML (and so JSON) into Go structs and says where everything
// stood. Names come from the json tags, so that a file, a Terraform configuration and JSON
// share them. It refuses what it cannot place: unknown and double keys and wrong types are
// faults, all of them at once, each with its path, line and column. It knows no defaults
// and no meaning; that is the caller's.
package strictyaml
