#!/bin/sh
# Stands in for your queue: prints what `asterisk -rx "queue show support"` would. Put the number of
# callers into the file `waiting` beside this script and see it published.
waiting=$(cat waiting 2>/dev/null) || waiting=2
echo "support has $waiting calls (max unlimited) in 'rrmemory' strategy (12s holdtime, 45s talktime), W:0, C:27, A:4, SL:88.9% within 60s"
