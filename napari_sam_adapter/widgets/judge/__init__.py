"""What a person does with masks: accept them, compare versions, go to the next slice."""
