"""What clients and object classes say to each other, and what the classes keep in objects.

One module per class, named like it (`2pc_queue` is `two_phase_queue`), with the arguments and
results of its methods. What the methods do is `spirula.classes`. Formats: upstream `src/cls/*`.
"""
