"""The libraries that we know, one file each; `_index` says which of them has a hook in which module."""
