# A Vault to try things with: its keys are kept by the init job, and it speaks no TLS within its own network. For real use,
# name yours in attune-tasks.toml, and leave the services `vault` and `set-up-vault` out.
disable_mlock = true
storage "file" {
  path = "/vault/file"
}
listener "tcp" {
  address     = "0.0.0.0:8200"
  tls_disable = true
}
