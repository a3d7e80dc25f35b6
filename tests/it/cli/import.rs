//! Many artifacts from files, whatever interrupts it.
