package disk

func childMain(string) {}
