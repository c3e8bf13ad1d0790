# The id is the public half of the key that the host has now. Read it on the console of the host,
# not over the network: cat /etc/ssh/ssh_host_ed25519_key.pub
terraform import 'zkboot_host_key_rotation.zk["zk1"]' 'ssh-ed25519 AAAA...'
