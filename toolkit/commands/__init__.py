"""Groups of commands, one module each; `toolkit.cli` registers them."""
