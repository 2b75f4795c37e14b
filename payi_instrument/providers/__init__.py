"""The providers' SDKs, one file each: SDK objects in, units and bounds out."""
