"""Who the patients are: the manifest and its checks, folders that are scanned, public downloads."""
