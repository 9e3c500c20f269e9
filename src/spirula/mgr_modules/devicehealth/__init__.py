"""The manager module `devicehealth`: `samples` keeps what disks tell, `module` asks and acts."""
