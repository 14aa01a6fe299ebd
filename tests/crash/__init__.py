"""Kills everything of a Pelton at random moments, and looks from outside whether anything was lost.

    ./test crash                        about 100 kills
    ./test crash --seed 17 --rounds 1   one round again
    ./bench crash --kills 1000          the long form; writes the table of docs/reliability.md

A round is a world of its own (world.py: a server, two runners in network name spaces of their own, small disks), a random
mix of builds (mix.py), a saboteur (sabotage.py), a ledger of what the steps really did (ledger.py), and then a look from
outside (check.py). All of it follows from the round's seed, as far as the machine's scheduling allows.
"""
