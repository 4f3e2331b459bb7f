"""How a run stands, from the files in its folder alone; nothing is locked or changed, so any machine may ask."""
