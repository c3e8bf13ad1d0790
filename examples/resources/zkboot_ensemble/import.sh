# [user@]host[:port][/name]: any one reachable member, and the name of the ensemble where the host has several.
terraform import zkboot_ensemble.main debian@203.0.113.11:22
