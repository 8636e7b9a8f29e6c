"""
PyTorch as a peer for pictures: a convolutional conditional GAN, StyleGAN 2 and a denoising U-Net, their training steps and
their sampling, as a competent PyTorch user writes them. It loads our initial parameters and the random numbers our side
draws, so that losses and pictures can be compared; it knows nothing else of Inkstone.
"""
import math
import time

import torch
import torch.nn.functional as F

GAIN = math.sqrt(2)


def ladder(size):
    sizes = [size]
    while sizes[0] % 2 == 0 and sizes[0] > 4:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def channels_at(size, config):
    return min(config['widest'], int(config['width'] * config['size'] / size + 0.5))


def dense(p, name, x, gain=1.0, rate=1.0):
    weight = p[f'{name}.weight']
    y = x @ (weight * (gain * rate / math.sqrt(weight.shape[0])))
    bias = p.get(f'{name}.bias')
    return y if bias is None else y + bias * rate


def kernel(p, name, gain=1.0):
    weight = p[f'{name}.weight']
    return weight * (gain / math.sqrt(weight[0].numel()))


def convolution(p, name, x, gain=1.0, stride=1):
    weight = kernel(p, name, gain)
    return F.conv2d(x, weight, p.get(f'{name}.bias'), stride=stride, padding=weight.shape[2] // 2)


def rectify(x):
    return F.leaky_relu(x, 0.2)


def pixel_norm(x):
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def upsample(x):
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


def downsample(x):
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    channels = x.shape[1]
    filters = torch.outer(taps, taps).expand(channels, 1, 4, 4)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), filters, stride=2, groups=channels)


def minibatch_deviation(x, group):
    batch, channels, high, wide = x.shape
    size = group if batch % group == 0 else batch
    grouped = x.view(batch // size, size, -1)
    deviation = (grouped.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=1)
    plane = deviation.view(-1, 1, 1, 1, 1).expand(-1, size, 1, high, wide).reshape(batch, 1, high, wide)
    return torch.cat([x, plane], dim=1)


def critic_head(config, p, x, labels):
    if config.get('group', 4) > 0:
        x = minibatch_deviation(x, config.get('group', 4))
    h = rectify(convolution(p, 'critic.last', x, GAIN))
    features = rectify(dense(p, 'critic.dense', h.flatten(1), GAIN))
    score = dense(p, 'critic.score', features).squeeze(1)
    if labels is None:
        return score
    wanted = F.embedding(labels, p['critic.labels.weight'])
    return score + (features * wanted).sum(dim=1) / math.sqrt(features.shape[1])


class Gan:
    """Convolutional, the label joined to the latents and as a projection in the critic."""

    def __init__(self, config):
        self.config = config
        self.sizes = ladder(config['size'])

    def images(self, p, x):
        z = pixel_norm(x['latents'])
        classes = self.config['classes']
        if classes > 0:
            z = torch.cat([z, F.one_hot(x['labels'], classes).float() * math.sqrt(classes)], dim=1)
        first = self.sizes[0]
        h = dense(p, 'generator.start', z, GAIN).view(len(z), -1, first, first)
        h = pixel_norm(rectify(h))
        for i, size in enumerate(self.sizes):
            if i > 0:
                h = upsample(h)
            h = pixel_norm(rectify(convolution(p, f'generator.size{size}', h, GAIN)))
        return torch.tanh(convolution(p, 'generator.picture', h))

    def score(self, p, images, labels):
        h = rectify(convolution(p, 'critic.picture', images, GAIN))
        for size in self.sizes[-2::-1]:
            h = rectify(convolution(p, f'critic.size{size}', h, GAIN, stride=2))
        return critic_head(self.config, p, h, labels)


class StyleGan2:
    def __init__(self, config):
        self.config = config
        self.sizes = ladder(config['size'])
        self.count = 2 * len(self.sizes)

    def style(self, p, latents):
        h = pixel_norm(latents)
        for i in range(self.config['mapping']):
            h = rectify(dense(p, f'generator.mapping{i}', h, GAIN, self.config['mappingRate']))
        return h

    def styles(self, p, x):
        own = self.style(p, x['latents']).unsqueeze(1)
        other = self.style(p, x['mixed']).unsqueeze(1)
        first = torch.arange(self.count).view(1, -1, 1) < x['crossover'].view(-1, 1, 1)
        return torch.where(first, own, other)

    def layer(self, p, name, x, style, noise, up):
        scale = dense(p, f'{name}.style', style)
        weight = kernel(p, name)
        energy = weight.square().sum(dim=(2, 3))
        norm = torch.rsqrt(scale.square() @ energy.t() + 1e-8)
        x = x * scale[:, :, None, None]
        y = F.conv2d(upsample(x) if up else x, weight, padding=1)
        y = y * norm[:, :, None, None] + noise * p[f'{name}.noise'].view(1, -1, 1, 1)
        return rectify(y + p[f'{name}.bias'].view(1, -1, 1, 1)) * GAIN

    def images(self, p, x, styles=None):
        styles = self.styles(p, x) if styles is None else styles
        h = p['generator.constant'].expand(len(styles), -1, -1, -1)
        picture = None
        at = 0
        for i, size in enumerate(self.sizes):
            if i > 0:
                h = self.layer(p, f'generator.size{size}.up', h, styles[:, 2 * i - 1], x[f'noise.{at}'], True)
                at += 1
            h = self.layer(p, f'generator.size{size}.same', h, styles[:, 2 * i], x[f'noise.{at}'], False)
            at += 1
            name = f'generator.picture{size}'
            scale = dense(p, f'{name}.style', styles[:, 2 * i + 1])
            own = F.conv2d(h * scale[:, :, None, None], kernel(p, name), p[f'{name}.bias'])
            picture = own if picture is None else upsample(picture) + own
        return picture

    def score(self, p, images, labels):
        h = rectify(convolution(p, 'critic.picture', images, GAIN))
        for size in self.sizes[:0:-1]:
            inner = rectify(convolution(p, f'critic.size{size}.same', h, GAIN))
            down = rectify(convolution(p, f'critic.size{size}.down', downsample(inner), GAIN))
            h = (down + convolution(p, f'critic.size{size}.skip', downsample(h))) / GAIN
        return critic_head(self.config, p, h, labels)


class Unet:
    def __init__(self, config):
        self.config = config
        self.sizes = ladder(config['size'])[::-1]

    def norm(self, p, name, x):
        groups = max(1, x.shape[1] // 8)
        return F.group_norm(x, groups, p[f'{name}.weight'], p[f'{name}.bias'])

    def block(self, p, name, x, time_):
        h = convolution(p, f'{name}.conv1', F.silu(self.norm(p, f'{name}.norm1', x)), GAIN)
        h = h + dense(p, f'{name}.time', time_)[:, :, None, None]
        h = convolution(p, f'{name}.conv2', F.silu(self.norm(p, f'{name}.norm2', h)), 0.1)
        return (convolution(p, f'{name}.skip', x) if f'{name}.skip.weight' in p else x) + h

    def times(self, p, times):
        half = 32
        frequencies = torch.exp(torch.arange(half) * (-math.log(10000) / half))
        angles = times.float().view(-1, 1) * (1000 / self.config['steps']) * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        return dense(p, 'times.outer', F.silu(dense(p, 'times.inner', waves, GAIN)))

    def predict(self, p, images, times, labels):
        time_ = self.times(p, times)
        if labels is not None:
            time_ = time_ + F.embedding(labels, p['labels.weight'])
        time_ = F.silu(time_)
        blocks = self.config.get('blocks', 1)
        h = convolution(p, 'first', images)
        skips = [h]
        for i, size in enumerate(self.sizes):
            for b in range(blocks):
                h = self.block(p, f'down{size}.{b}', h, time_)
                skips.append(h)
            if i + 1 < len(self.sizes):
                h = convolution(p, f'down{size}.half', h, stride=2)
                skips.append(h)
        h = self.block(p, 'middle', h, time_)
        for i, size in enumerate(self.sizes[::-1]):
            for b in range(blocks + 1):
                h = self.block(p, f'up{size}.{b}', torch.cat([h, skips.pop()], dim=1), time_)
            if i + 1 < len(self.sizes):
                larger = self.sizes[::-1][i + 1]
                h = convolution(p, f'up{size}.twice', F.interpolate(h, size=(larger, larger), mode='nearest'))
        return convolution(p, 'last', F.silu(self.norm(p, 'last.norm', h)), 0.1)


NETWORKS = {'gan': Gan, 'stylegan2': StyleGan2, 'ddpm': Unet}


def read_parameters(given):
    flat = torch.from_file(given['file'], size=sum(math.prod(t['shape']) for t in given['tensors']))
    parameters, at = {}, 0
    for one in given['tensors']:
        size = math.prod(one['shape'])
        parameters[one['name']] = flat[at : at + size].view(one['shape']).clone()
        at += size
    return parameters


def read_inputs(given):
    """A list of dictionaries, one a step; whole numbers become the int64 that PyTorch's own functions ask for."""
    sizes = [math.prod(t['shape']) for t in given['tensors']]
    total = sum(sizes) * given['count']
    floats = torch.from_file(given['file'], size=total)
    whole = torch.from_file(given['file'], size=total, dtype=torch.int32)
    steps, at = [], 0
    for _ in range(given['count']):
        step = {}
        for one, size in zip(given['tensors'], sizes):
            source = floats if one['dtype'] == 'f32' else whole
            value = source[at : at + size].view(one['shape']).clone()
            step[one['name']] = value if one['dtype'] == 'f32' else value.long()
            at += size
        steps.append(step)
    return steps


def part(step, prefix):
    return {name[len(prefix) :]: value for name, value in step.items() if name.startswith(prefix)}


class PictureTraining:
    def __init__(self, call):
        self.settings = call['settings']
        self.network = NETWORKS[call['model']['architecture']](call['model'])
        self.inputs = read_inputs(call['inputs'])
        p = read_parameters(call['parameters'])
        self.at = 0
        sides = ('generator', 'critic') if 'criticRate' in self.settings else ('',)
        self.sides = {}
        for side in sides:
            mine = {n: v.requires_grad_() for n, v in p.items() if n.startswith(side)}
            rate = self.settings.get(f'{side}Rate') or self.settings['learningRate']
            adam = self.settings['optimiser']
            betas = (float(adam['beta1']), float(adam['beta2']))
            optimiser = torch.optim.AdamW(mine.values(), lr=rate, betas=betas, eps=adam['epsilon'], weight_decay=0.0, fused=True)
            self.sides[side] = (mine, optimiser)
        averaged = self.sides[sides[0]][0]
        self.averaged = list(averaged.values())
        self.averages = [value.detach().clone() for value in self.averaged]
        self.path_mean = torch.tensor(0.0)

    def run(self, count):
        seconds, losses = [], []
        for _ in range(count):
            start = time.perf_counter()
            step = self.inputs[self.at % len(self.inputs)]
            losses.extend(self.adversarial(step) if 'critic' in self.sides else self.alone(step))
            seconds.append(time.perf_counter() - start)
            self.at += 1
        return {'seconds': seconds, 'losses': losses}

    def average(self, share):
        torch._foreach_lerp_(self.averages, [value.detach() for value in self.averaged], share)

    def learn(self, side, loss):
        _, optimiser = self.sides[side]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def adversarial(self, step):
        generator, critic = self.sides['generator'][0], self.sides['critic'][0]
        settings = self.settings
        real, labels = step['real'], step.get('real_labels')
        made = part(step, 'critic/')
        with torch.no_grad():
            fake = self.network.images(generator, made)
        penalised = settings['r1'] > 0
        if penalised:
            real = real.detach().requires_grad_()
        both = None if labels is None else torch.cat([labels, made['labels']])
        scores = self.network.score(critic, torch.cat([real, fake]), both)
        real_scores, fake_scores = scores.chunk(2)
        critic_loss = F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()
        if penalised:
            (slope,) = torch.autograd.grad(real_scores.sum(), real, create_graph=True)
            critic_loss = critic_loss + slope.square().sum(dim=(1, 2, 3)).mean() * (settings['r1'] / 2)
        self.learn('critic', critic_loss)

        for value in critic.values():
            value.requires_grad_(False)
        made = part(step, 'generator/')
        images = self.network.images(generator, made)
        loss = F.softplus(-self.network.score(critic, images, made.get('labels'))).mean()
        if settings['pathLength'] > 0:
            loss = loss + self.path_length(generator, part(step, 'length/')) * settings['pathLength']
        self.learn('generator', loss)
        for value in critic.values():
            value.requires_grad_(True)
        seen = (self.at + 1) * len(real)
        self.average(1 - 0.5 ** (len(real) / max(1, min(settings['averageHalfLife'], seen * 0.05))))
        # What the training is watched by: scores and the variety of the pictures.
        with torch.no_grad():
            torch.stack([real_scores.mean(), fake_scores.mean(), images.var(dim=0, unbiased=False).sqrt().mean()]).tolist()
        return [critic_loss.item(), loss.item()]

    def path_length(self, generator, made):
        styles = self.network.styles(generator, made)
        images = self.network.images(generator, made, styles)
        directions = made['directions'] / math.sqrt(images.shape[2] * images.shape[3])
        (slope,) = torch.autograd.grad((images * directions).sum(), styles, create_graph=True)
        lengths = (slope.square().sum(dim=2).mean(dim=1) + 1e-12).sqrt()
        self.path_mean = self.path_mean + (lengths.mean().detach() - self.path_mean) * 0.01
        return (lengths - self.path_mean).square().mean()

    def alone(self, step):
        p = self.sides[''][0]
        signal, amount = step['signal'].view(-1, 1, 1, 1), step['amount'].view(-1, 1, 1, 1)
        noisy = step['images'] * signal + step['noise'] * amount
        wanted = step['noise'] * signal - step['images'] * amount
        loss = F.mse_loss(self.network.predict(p, noisy, step['times'], step.get('labels')), wanted)
        _, optimiser = self.sides['']
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), self.settings['clip'], foreach=True)
        optimiser.step()
        self.average(1 - self.settings['ema'])
        return [loss.item()]


class PictureMaking:
    """One run makes one batch, to bytes."""

    def __init__(self, call):
        self.config = call['model']
        self.network = NETWORKS[self.config['architecture']](self.config)
        self.p = read_parameters(call['parameters'])
        self.inputs = read_inputs(call['inputs'])[0]
        self.sampling = call.get('sampling')

    @torch.inference_mode()
    def make(self):
        x = self.inputs
        images = self.denoise() if self.config['architecture'] == 'ddpm' else self.network.images(self.p, x)
        return ((images + 1) * 127.5).clamp_(0, 255).round_().to(torch.uint8)

    def denoise(self):
        """DDIM with guidance, both predictions in one pass."""
        x, labels = self.inputs['noise'], self.inputs['labels']
        given = torch.cat([labels, torch.full_like(labels, self.config['classes'])])
        sampling = self.sampling
        guidance = sampling['guidance']
        times, signal, noise = sampling['times'], sampling['signal'], sampling['noise']
        for i, t in enumerate(times):
            a, b = signal[i], noise[i]
            found = self.network.predict(self.p, torch.cat([x, x]), torch.full_like(given, t), given)
            with_label, without = found.chunk(2)
            v = without + guidance * (with_label - without)
            picture = (a * x - b * v).clamp_(-1, 1)
            if i + 1 == len(times):
                return picture
            grain = (x - a * picture) / b
            x = signal[i + 1] * picture + noise[i + 1] * grain
        return x

    def run(self, count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            images = self.make()
            seconds.append(time.perf_counter() - start)
        return {'seconds': seconds, 'tokens': images[0].flatten().tolist()}
