# The provider is mocked: the example hangs together, and bears the loss of any place.

mock_provider "zkboot" {}

variables {
  zookeeper_sha512 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "any_place_may_be_lost" {
  assert {
    condition     = alltrue([for c in ["NO", "SE", "FI"] : length([for m in local.members : m if m.country != c]) >= 3])
    error_message = "without one of the countries fewer than 3 of 5 voters are left: ${jsonencode(local.members)}"
  }
  assert {
    condition     = sort([for id in output.members : format("%d", id)]) == tolist(["1", "2", "3", "4", "5", "6", "7"])
    error_message = "members: ${jsonencode(output.members)}"
  }
}
