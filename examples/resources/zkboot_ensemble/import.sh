# [user@]host[:port][/name]: any one reachable member, and the name of the ensemble where the host has several.
terraform import zkboot_ensemble.main debian@203.0.113.11:22

# An ensemble that somebody else set up: ?adopt behind, or ?config=PATH&unit=NAME where these are not as Debian has them.
terraform import zkboot_ensemble.main 'debian@203.0.113.11/main?adopt'
