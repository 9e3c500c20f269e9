"""Erasure codes: what a profile says (`registry.erasure_code`); the codecs come with the OSDs.

A plugin is a module: `jerasure`, `isa`, `shec`, `clay`, `lrc`. Each reads a profile as upstream's
plugin of that name does, with its defaults and limits.
"""
