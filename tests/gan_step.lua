--- The training step that small GANs of the tests share: one update of D, one of G.
local gan = require "gan"
local loss = gan.loss

--- The step of gan.train.loop for nets that give logits: step(real), a batch, from which codes of
-- `width` numbers have their count.
return function(G, D, G_opt, D_opt, width)
  local G_params = G:parameters()
  return function(real)
    local fake = G(gan.randn(#real, width))
    local D_loss = loss.gan_discriminator_loss_logits(D(real), D(fake:detach()))
    D_opt:zero_grad()
    D_loss:backward()
    D_opt:step()
    local G_loss = loss.gan_generator_loss_logits(D(fake))
    G_opt:zero_grad()
    G_loss:backward{ inputs = G_params }
    G_opt:step()
    return { D = D_loss, G = G_loss }
  end
end
