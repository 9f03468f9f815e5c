"""The part that is copied to the other machine: it starts, supervises, shows and stops runs there.

It needs Python 3.8 or later and the standard library, and imports nothing of ml-intern. An operation reads one JSON
object from standard input and prints one. Its root folder contains `blobs` (delivered files by SHA-256) and `runs`
(per run a folder with `lock`, `status.json`, `log.txt` and the working folder `work`).
"""
