"""How good captions are: two sets compared by a judge or by people (the paper's preference study), and by measures."""
