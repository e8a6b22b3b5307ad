# %% [markdown]
# # 18. Generation: masks, sampling, and the cache
#
# BERT fills gaps. GPT says which token comes next, and asked again and again, it writes. The two are nearly the same network;
# what differs is who may see whom. That is where it goes wrong first.

# %%
import difflib
import inspect
import math
import time
from types import SimpleNamespace
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim
from models import gpt
from models.bert import BertConfig, BertForMaskedLM
from models.gpt import GPT2Config, GPT2LMHeadModel
from models.gpt import model as gpt_file
from models.gpt.data import Stretches
from models.text.bigrams import bigram_entropy
from models.text.bpe import BPETokenizer
from models.text.python_docs import python_documentation

# %% [markdown]
# The text is the documentation of Python on your disk, one file in twenty held out. The tokenizer is GPT's, byte-level BPE. A
# batch holds stretches of 32 tokens that start anywhere, and as targets the same stretches one token further on.

# %%
documents = ["\n".join(lines) + "\n\n" for _, lines in python_documentation([])]
order = np.random.default_rng(0).permutation(len(documents)).tolist()
cut = len(documents) // 20
tokenizer = BPETokenizer.train((documents[i] for i in order[cut:]), vocab_size=512)
V = len(tokenizer)


def ids_of(files):
    return np.concatenate([np.array(ids) for ids in tokenizer.encode_lines([documents[i] for i in files])])


known, fresh = ids_of(order[cut:]), ids_of(order[:cut])
known_data = Stretches(known, length=32, batch_size=32, seed=0)
fresh_data = Stretches(fresh, length=32, batch_size=32, seed=0, at_random=False)
counts = np.bincount(known, minlength=V) + 1
unigram, bigram = -float(np.log(counts / counts.sum())[fresh].mean()), bigram_entropy(fresh, known, V)
print(f"{len(known):,} tokens to learn from; baselines: uniform {math.log(V):.2f}, unigram {unigram:.2f}, bigram {bigram:.2f}")
print("a stretch:", repr(tokenizer.decode(known_data.batch(0)["input_ids"][0].tolist())))


# %%
def make_model():
    minitorch.manual_seed(0)
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "initializer_range": 0.1}
    return GPT2LMHeadModel(GPT2Config(vocab_size=V, n_positions=64, n_embd=64, n_layer=2, n_head=4, **none))


def loss_of(model, batch):
    logits = model(batch["input_ids"], use_cache=False).logits  # (B, S, V)
    return F.cross_entropy(logits.reshape(-1, V), batch["targets"].reshape(-1))


def held_out(model):
    with minitorch.no_grad():
        return float(np.mean([loss_of(model, fresh_data.batch(k)).item() for k in range(12)]))


def train(model, steps, lr=5e-3):
    optimizer = optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99))
    schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, 30, steps)
    losses = []
    for step in range(steps):
        loss = loss_of(model, known_data.batch(step))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            print(f"  step {step + 1}: loss {np.mean(losses[-20:]):.2f}")
    return losses


# %% [markdown]
# ## Something goes wrong
#
# Somebody builds a GPT from BERT's parts, and thinks of the targets, but not of the mask. (In our library they have to take the
# mask out by force.) The training looks wonderful:


# %%
def no_mask(attention_mask, S, n, x):
    """In place of causal_mask: everybody sees everything."""


leaky = make_model()
with mock.patch.object(gpt_file, "causal_mask", no_mask):
    leaky_losses = train(leaky, 200)
    leaky_fresh = held_out(leaky)
print(f"on held-out text {leaky_fresh:.2f}, {bigram - leaky_fresh:.1f} nats below the bigram baseline")


# %%
def first_line(model, prompt, **options):
    (text,) = gpt.write(model, tokenizer, prompt, max_new_tokens=40, **options)
    return prompt + text.text.split("\n\n")[0].replace("\n", " / ")


with mock.patch.object(gpt_file, "causal_mask", no_mask):
    print(repr(first_line(leaky, "The function returns")))

# %% [markdown]
# The loss is near 0, on text that it has never seen. No overfitting, then; a miracle? It cannot write a single sentence. The
# target of position t is the token at t + 1, and without a mask position t *sees* the token at t + 1. It has learnt to copy its
# right neighbour, which needs no language at all. When it writes, there is no right neighbour yet.
#
# A loss cannot show this: it is measured with the same leak. A question to the network can. Change the *last* token of a
# stretch; nothing before it may change.


# %%
def leak(model):
    """By how much the answers before the last token change when only the last token changes."""
    ids = fresh_data.batch(0)["input_ids"][:4].numpy().copy()
    other = ids.copy()
    other[:, -1] = (ids[:, -1] + 1) % V
    with minitorch.no_grad():
        a, b = (model(minitorch.tensor(x), use_cache=False).logits[:, :-1] for x in (ids, other))
    return (a - b).abs().max().item()


with mock.patch.object(gpt_file, "causal_mask", no_mask):
    print(f"without the mask: {leak(leaky):.2f}")
print(f"with the mask:    {leak(leaky):.2f}, and its loss is {held_out(leaky):.2f}, where uniform guessing has {math.log(V):.2f}")

# %% [markdown]
# ### Exercise: the causal mask
#
# Token i may look at itself and at those before it. Later we shall process S new tokens when n earlier ones are there already:
# then the new ones are the last S of n + S, and the mask has a row for each new token and a column for each token.


# %%
def causal_mask(S, n=0):
    """bool (S, n + S): True where new token i, the (n + i)-th of all, may look."""
    raise NotImplementedError


# %%
check(
    causal_mask,
    case("three tokens", (3,), np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=bool)),
    case("two new ones after two", (2, 2), np.array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)),
    case("a single new one sees all", (1, 3), np.array([[1, 1, 1, 1]], dtype=bool)),
)

# %% [markdown]
# ### Exercise: the loss
#
# When a whole text `ids` goes in, the logits at position t are for the token at t + 1, and the last position has no target.
# Shift too little, and the network learns to repeat its input; another loss near 0 that means nothing.


# %%
def next_token_loss(logits, ids):
    """The mean of -log softmax(logits)[next token] over all positions that have one; logits (B, S, V), ids (B, S)."""
    raise NotImplementedError


# %%
first = [[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.8, 0.1, 0.1]]  # after each token of the first text
second = [[0.1, 0.1, 0.8], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]
after = minitorch.tensor(np.log([first, second]))
texts = minitorch.tensor([[0, 2, 1], [1, 2, 0]])
check(
    next_token_loss,
    case("a text of two tokens", (after[:1, :2], texts[:1, :2]), -math.log(0.5)),
    case("a text of three", (after[:1], texts[:1]), -(math.log(0.5) + math.log(0.6)) / 2),
    case("two texts", (after, texts), -(math.log(0.5) + math.log(0.6) + math.log(0.8) + math.log(0.5)) / 4),
)

# %% [markdown]
# ## GPT beside BERT
#
# How much of a BERT must change? Here are both, written with the same names for their parts. `attend` is attention, in all heads
# at once (lesson 8); `inner` is the feed-forward network; `head` makes the logits.


# %%
def bert_logits(m, ids):
    """(B, S) -> (B, S, V)"""
    x = m.norm(m.words(ids) + m.places.weight[: ids.shape[1]] + m.segment)
    for layer in m.layers:
        q, k, v = layer.qkv(x)  # each (B, heads, S, d)
        seen = F.scaled_dot_product_attention(q, k, v)
        x = layer.norm1(x + layer.out(joined(seen)))
        x = layer.norm2(x + layer.inner(x))
    return m.head(x)


# %%
def gpt_logits(m, ids):
    """(B, S) -> (B, S, V)"""
    x = m.words(ids) + m.places.weight[: ids.shape[1]]
    for layer in m.layers:
        q, k, v = layer.qkv(layer.norm1(x))  # each (B, heads, S, d)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + layer.out(joined(seen))
        x = x + layer.inner(layer.norm2(x))
    return m.head(m.norm(x))


# %%
a, b = (inspect.getsource(f).splitlines() for f in (bert_logits, gpt_logits))
changes = [line for line in difflib.ndiff(a, b) if line[0] in "-+"]
print(*changes, sep="\n")
changed = sum(line[0] == "+" for line in changes)
print(f"{changed} of {len(b)} lines differ, the name among them")
assert changed <= 10

# %% [markdown]
# Three differences. The mask. The place of the LayerNorms: before each part, inside of the residual, so that x runs through the
# whole network untouched, and once more at the end. And no segments: a GPT reads one text. (What goes with it differs, too: the
# loss above, and BERT's larger head.) To see that nothing is missing we run both with the weights of the library's models; the
# parts of each get the common names.


# %%
def joined(x):
    """(B, heads, S, d) -> (B, S, heads · d)"""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def heads_of(x, heads):
    """(B, S, heads · d) -> (B, heads, S, d)"""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def bert_layer(layer):
    own = layer.attention.self
    return SimpleNamespace(
        qkv=lambda x: [heads_of(part(x), own.heads) for part in (own.query, own.key, own.value)],
        out=layer.attention.output.dense,
        norm1=layer.attention.output.LayerNorm,
        inner=lambda x: layer.output.dense(layer.intermediate(x)),
        norm2=layer.output.LayerNorm,
    )


def gpt_layer(block):
    return SimpleNamespace(
        qkv=lambda x: [heads_of(part, block.attn.heads) for part in block.attn.c_attn(x).chunk(3, -1)],
        out=block.attn.c_proj,
        norm1=block.ln_1,
        inner=block.mlp,
        norm2=block.ln_2,
    )


# %%
def parts_of_bert(model):
    e, layers = model.bert.embeddings, [bert_layer(layer) for layer in model.bert.encoder.layer]
    inputs = {"words": e.word_embeddings, "places": e.position_embeddings, "segment": e.token_type_embeddings.weight[0]}
    return SimpleNamespace(**inputs, norm=e.LayerNorm, layers=layers, head=model.cls.predictions)


def parts_of_gpt(model):
    t, layers = model.transformer, [gpt_layer(block) for block in model.transformer.h]
    return SimpleNamespace(words=t.wte, places=t.wpe, norm=t.ln_f, layers=layers, head=model.lm_head)


sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256, "initializer_range": 0.1}
ids = fresh_data.batch(0)["input_ids"][:3]
for name, model, parts_of, ours in (
    ("BERT", BertForMaskedLM(BertConfig(vocab_size=V, max_position_embeddings=64, **sizes)).eval(), parts_of_bert, bert_logits),
    ("GPT", make_model().eval(), parts_of_gpt, gpt_logits),
):
    with minitorch.no_grad():
        difference = (ours(parts_of(model), ids) - model(ids).logits).abs().max().item()
    print(f"{name}: ours and the library's logits differ by at most {difference:.0e}")
    assert difference < 1e-4

# %% [markdown]
# ## The repair
#
# The same training, with the mask in place:

# %%
model = make_model()
begin = time.perf_counter()
losses = train(model, 500)
seconds = time.perf_counter() - begin
model.eval()
final = held_out(model)
print(f"on held-out text {final:.2f} nats per token; unigram {unigram:.2f}, bigram {bigram:.2f}; leak {leak(model):.0e}")
assert leak(model) < 1e-4
assert final < unigram - 1
print(repr(first_line(model, "The function returns")))

# %%
try:
    mask = minitorch.tensor(np.where(np.asarray(causal_mask(32)), 0.0, -1e9).astype(np.float32))
    with mock.patch.object(gpt_file, "causal_mask", return_value=mask), minitorch.no_grad():
        batch = fresh_data.batch(0)
        print(f"with your mask the model has the loss {loss_of(model, batch).item():.4f},", end=" ")
    with minitorch.no_grad():
        print(f"with the library's {loss_of(model, batch).item():.4f}")
except NotImplementedError:
    print("causal_mask is not written yet")

# %% [markdown]
# A modest loss, far above the miracle's, and an honest one: it is the price of a guess. The text is made of words of the
# documentation; for more than that, five hundred steps of a tiny model are too few.
#
# ## Choosing the next token
#
# The model gives a probability to each token. To take the most probable one each time (*greedy*) is the obvious choice, and a
# poor one: small models soon repeat themselves. To *draw* by the probabilities gives lively text, and now and then a very
# improbable token, after which nothing fits. So one draws, but not from all tokens:
#
# - the *temperature* T divides the logits: below 1 probable tokens gain, above 1 improbable ones;
# - *top-k* keeps the k most probable tokens;
# - *top-p* keeps the most probable tokens that have the share p together: few where the model is sure, many where it is not.
#
# ### Exercise: temperature and top-k


# %%
def sharpen(logits, temperature, k):
    """Probabilities (V,) of the next token: softmax of logits / temperature over the k largest, and 0 for all others."""
    raise NotImplementedError


# %%
x = np.log([1.0, 4.0, 2.0, 8.0])
check(
    sharpen,
    case("all four, T = 1", (x, 1.0, 4), np.array([1, 4, 2, 8]) / 15),
    case("the two most probable", (x, 1.0, 2), np.array([0, 1, 0, 2]) / 3),
    case("T = 0.5", (x, 0.5, 3), np.array([0, 16, 4, 64]) / 84),
    case("T = 2", (x, 2.0, 2), np.array([0, 0.41421356, 0, 0.58578644])),
    case("large logits", (x * 1000, 1.0, 4), np.array([0.0, 0, 0, 1])),
)

# %% [markdown]
# ### Exercise: top-p


# %%
def top_p(p, share):
    """From probabilities p (V,): keep the fewest most probable tokens whose sum reaches ``share``, at least one; rescale to 1."""
    raise NotImplementedError


# %%
p = np.array([0.125, 0.5, 0.125 / 2, 0.25, 0.125 / 2])
check(
    top_p,
    case("0.6: two tokens", (p, 0.6), np.array([0, 2, 0, 1, 0]) / 3),
    case("0.75: two reach it exactly", (p, 0.75), np.array([0, 2, 0, 1, 0]) / 3),
    case("0.8: three", (p, 0.8), np.array([1, 4, 0, 2, 0]) / 7),
    case("0: one is left", (p, 0.0), np.array([0.0, 1, 0, 0, 0])),
    case("1: all", (p, 1.0), p),
)

# %%
with minitorch.no_grad():
    logits = model(minitorch.tensor([tokenizer.encode("The function returns")])).logits[0, -1].numpy().astype(float)
probable = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
best = np.argsort(-probable)
print("after 'The function returns':", ", ".join(f"{tokenizer.decode([i])!r} {probable[i]:.0%}" for i in best[:6]))
print(f"half of the probability lies on {1 + np.searchsorted(probable[best].cumsum(), 0.5)} tokens of {V}")
for name, options in (
    ("greedy", {}),
    ("T = 0.5", {"temperature": 0.5}),
    ("T = 1", {"temperature": 1.0}),
    ("T = 1, top-k 20", {"temperature": 1.0, "top_k": 20}),
    ("T = 1, top-p 0.8", {"temperature": 1.0, "top_p": 0.8}),
    ("T = 2", {"temperature": 2.0}),
):
    chosen = {"do_sample": True, "seed": 3, "top_k": 0, **options} if options else {}
    print(f"{name:16s} {first_line(model, 'The function returns', **chosen)!r}")

# %% [markdown]
# If you have written both, this draws with your filters, one after the other:

# %%
random, text = np.random.default_rng(3), tokenizer.encode("The function returns")
try:
    for _ in range(40):
        with minitorch.no_grad():
            logits = model(minitorch.tensor([text[-64:]])).logits[0, -1].numpy().astype(float)
        text.append(int(random.choice(V, p=np.asarray(top_p(np.asarray(sharpen(logits, 0.8, 50)), 0.9)))))
    print(f"T = 0.8, top-k 50, top-p 0.9, with your filters: {tokenizer.decode(text)!r}")
except NotImplementedError:
    print("sharpen and top_p are not both written yet")

# %% [markdown]
# ## The cache
#
# To write one more token, must all of the text go through the network again? An earlier token sees nothing of a later one, so
# nothing about it changes: its keys and values stay what they were. We keep them, and send only the new token through.
#
# ### Exercise: attention with a cache
#
# q, k and v belong to one new token. The check sends a text through your function, token by token, and compares with causal
# attention over the whole text at once.


# %%
def attend(q, k, v, cache=None):
    """softmax(q Kᵀ/√d) V over all tokens so far. q, k, v: (B, heads, 1, d); cache: None, or (K, V) of the tokens before.

    Returns the result (B, heads, 1, d) and the cache for the next call, with the new key and value in it.
    """
    raise NotImplementedError


# %%
def token_by_token(attend):
    def asked(q, k, v):
        cache, results = None, []
        for t in range(q.shape[2]):
            result, cache = attend(*(x[:, :, t : t + 1] for x in (q, k, v)), cache)
            results.append(result)
        return minitorch.cat(results, dim=2)

    return asked


random = np.random.default_rng(0)
q, k, v = (minitorch.tensor(random.standard_normal((2, 3, 5, 4)).astype(np.float32)) for _ in range(3))
whole = F.scaled_dot_product_attention(q, k, v, is_causal=True)
check(
    attend,
    case("the first token", (q[:, :, :1], k[:, :, :1], v[:, :, :1]), whole[:, :, :1]),
    case("two tokens", (q[:, :, :2], k[:, :, :2], v[:, :, :2]), whole[:, :, :2]),
    case("five tokens, one after the other", (q, k, v), whole),
    case("large scores", (q * 30, k, v), F.scaled_dot_product_attention(q * 30, k, v, is_causal=True), tolerance=1e-4),
    through=token_by_token,
)

# %% [markdown]
# If you have written it, our GPT now writes with your cache; greedy, so that it must give the library's tokens.


# %%
def next_logits(m, token, place, caches):
    """The logits after one more token; ``caches`` holds one cache per layer, and is brought up to date."""
    x = m.words(minitorch.tensor([[token]])) + m.places.weight[place]
    for i, layer in enumerate(m.layers):
        seen, caches[i] = attend(*layer.qkv(layer.norm1(x)), caches[i])
        x = x + layer.out(joined(seen))
        x = x + layer.inner(layer.norm2(x))
    return m.head(m.norm(x))[0, -1].numpy()


prompt, new = tokenizer.encode("The function returns"), 30
try:
    text, caches = list(prompt), [None, None]
    with minitorch.no_grad():
        for place in range(len(prompt) + new - 1):
            answer = next_logits(parts_of_gpt(model), text[place], place, caches)
            text += [int(answer.argmax())] if place + 1 == len(text) else []
    theirs = model.generate(minitorch.tensor([prompt]), max_new_tokens=new, eos_token_id=None).tolist()[0]
    print(f"your cache writes {'the same' if text == theirs else 'other'} tokens as the library: {tokenizer.decode(text)!r}")
except NotImplementedError:
    print("attend is not written yet")

# %% [markdown]
# What is it worth? We let a somewhat larger model write 200 tokens, with the cache and without. Its weights are random: what it
# writes is nonsense, but takes as long. Both ways must give the same tokens.

# %%
minitorch.manual_seed(1)
larger = GPT2LMHeadModel(GPT2Config(vocab_size=V, n_positions=256, n_embd=128, n_layer=4, n_head=4, initializer_range=0.1)).eval()


def write(use_cache):
    """The tokens, and the seconds that each took."""
    times = [time.perf_counter()]
    tokens = larger.generate(
        minitorch.tensor([[1, 2, 3]]),
        max_new_tokens=200,
        eos_token_id=None,
        use_cache=use_cache,
        streamer=lambda i, token: times.append(time.perf_counter()),
    )
    return tokens.tolist()[0], np.diff(times)[:200]


write(True)  # once to warm up
(cached, quick), (uncached, slow) = write(True), write(False)
assert cached == uncached
late = slice(150, 200)
ratio = np.median(slow[late]) / np.median(quick[late])
print(f"the same {len(cached) - 3} tokens; the last 50 take {ratio:.1f} times as long without the cache")

# %% [markdown]
# The price is memory: two vectors per token and layer. And the mask must be causal: in a BERT, each new token would change the
# keys and values of all others, and there would be nothing to keep.
#
# ## The picture
#
# Left: two losses; the lower one is worth nothing. Right: the time of each token.

# %%
figure, (left, right) = plt.subplots(1, 2)
smooth = np.ones(10) / 10
left.plot(np.convolve(leaky_losses, smooth, "valid"), color=RED, label="without the mask")
left.plot(np.convolve(losses, smooth, "valid"), color=BLUE, label="with the mask")
left.plot([len(losses)], [final], "o", color=GREEN, label="with the mask, held out")
for value, name in ((unigram, "unigram"), (bigram, "bigram")):
    left.axhline(value, color=ORANGE if name == "bigram" else GREY, linestyle=":", label=f"{name} entropy")
left.set(xlabel="step", ylabel="loss (nats per token)", title="A loss near 0 is no triumph", ylim=(0, 11))
left.legend(fontsize=8, loc="upper right", ncols=2)
for times, colour, name in ((slow, RED, "without the cache"), (quick, BLUE, "with the cache")):
    right.plot(np.convolve(times * 1e3, smooth, "valid"), color=colour, label=name)
right.set(xlabel="tokens written", ylabel="milliseconds per token", title="What one more token costs")
right.set(ylim=(0, 1.5 * np.percentile(slow, 99) * 1e3))
right.legend(fontsize=9, loc="upper left")
show(figure, "18_generation")
print(f"honest loss {final:.2f} in {seconds:.0f} s; a token near the 200th costs {ratio:.1f} times as much without the cache")

# %% [markdown]
# ## Read next
#
# - `models/gpt/model.py`: the whole model, `causal_mask` included; read `models/bert/model.py` beside it.
# - `models/generation/filters.py`: your filters, and `repetition_penalty`.
# - `models/generation/cache.py`: a cache that need not copy everything for each token.
# - `models/generation/beams.py`: looking for the most probable text as a whole.
# - [GPT](../docs/gpt.md): train a larger one with `minitorch pretrain --model gpt`, and let it write.
