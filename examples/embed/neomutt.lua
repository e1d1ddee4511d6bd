-- Run by neomuttrc: a picture for the next mail.
require("tiny_gan").demonstrate()
