"""SIP as a caller needs it: messages, dialogs, codecs, RTP with the kernel's clock."""
