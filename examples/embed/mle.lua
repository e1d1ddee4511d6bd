-- A script of the text editor mle: draws when the editor starts.
--
--   gan-lua train.lua && mle -N -H 1 -x mle.lua
require("tiny_gan").demonstrate()
