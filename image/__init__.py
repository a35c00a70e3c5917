"""What goes into the container image beside the service: how its layers are laid out, its bill of materials, `wget`."""
