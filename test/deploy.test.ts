/** The manifests under `deploy/`: they parse, refer to each other rightly, and ask for nothing that the programs do not have. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { packageFolder } from '../src/base/host.ts';
import { fields } from '../src/base/schema.ts';
import gateway from '../src/cli/commands/gateway.ts';
import serve from '../src/cli/commands/serve.ts';
import { publishedNames } from '../src/operate/watch/definitions.ts';
import { GatewayMetrics } from '../src/serve/gateway/metrics.ts';

// biome-ignore lint/suspicious/noExplicitAny: a manifest has any shape; what is looked at is checked
type Manifest = Record<string, any>;

const root = path.join(packageFolder, 'deploy');
const files = new Map<string, Manifest[]>();
let all: Manifest[] = [];
let published: Set<string>;
const ofKind = (...kinds: string[]): Manifest[] => all.filter(({ kind }) => kinds.includes(kind as string));
const workloads = (): Manifest[] => ofKind('Deployment', 'StatefulSet');
const containers = (): Manifest[] => workloads().flatMap((one) => one.spec.template.spec.containers);

beforeAll(async () => {
  for (const name of await readdir(root, { recursive: true })) {
    if (!name.endsWith('.yaml')) continue;
    const documents = parseAllDocuments(await readFile(path.join(root, name), 'utf8'), { strict: true });
    const found: Manifest[] = [];
    for (const document of documents) {
      expect(document.errors, name).toEqual([]);
      found.push(document.toJS() as Manifest);
    }
    files.set(name, found);
  }
  all = [...files].flatMap(([name, documents]) => (name.includes('adapter-rules') ? [] : documents));
  const upstreams = { snapshot: () => ({ upstreams: [] }) } as never;
  const text = await new GatewayMetrics(upstreams, () => 0).text();
  published = new Set([
    ...publishedNames(),
    ...[...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string),
  ]);
});

describe('the manifests', () => {
  it('are whole, and each kustomization names files that are there, and all of them', () => {
    expect(files.size).toBeGreaterThanOrEqual(9);
    for (const one of all) {
      expect(one.apiVersion).toMatch(/^[\w.]+(\/v\d\w*)?$/);
      if (one.kind !== 'Kustomization') expect(one.metadata.name).toMatch(/^[a-z][a-z0-9-]+$/);
    }
    for (const [name, [one]] of files) {
      if (one?.kind !== 'Kustomization') continue;
      const folder = path.dirname(name);
      const there = [...files.keys()]
        .filter((file) => path.dirname(file) === folder)
        .map((f) => path.basename(f));
      const resources = one.resources as string[];
      for (const resource of resources)
        if (resource.startsWith('..'))
          expect(files.has(path.join(folder, resource, 'kustomization.yaml')), resource).toBe(true);
      expect(resources.filter((resource) => !resource.startsWith('..')).sort()).toEqual(
        there.filter((file) => file !== 'kustomization.yaml' && !file.includes('adapter-rules')).sort(),
      );
    }
  });

  it('select what is there', () => {
    const labels = workloads().map((one) => one.spec.template.metadata.labels as Record<string, string>);
    const fits = (selector: Record<string, string>): boolean =>
      labels.some((one) => Object.entries(selector).every(([key, value]) => one[key] === value));
    for (const one of workloads()) expect(fits(one.spec.selector.matchLabels)).toBe(true);
    for (const one of ofKind('Service')) expect(fits(one.spec.selector)).toBe(true);
    for (const one of ofKind('PodDisruptionBudget')) expect(fits(one.spec.selector.matchLabels)).toBe(true);
    for (const one of ofKind('NetworkPolicy')) expect(fits(one.spec.podSelector.matchLabels)).toBe(true);
    expect(ofKind('PodDisruptionBudget')).toHaveLength(workloads().length);
    expect(ofKind('NetworkPolicy')).toHaveLength(workloads().length);
    for (const one of ofKind('HorizontalPodAutoscaler', 'ScaledObject')) {
      const { kind, name } = one.spec.scaleTargetRef;
      expect(workloads().some((w) => w.kind === kind && w.metadata.name === name)).toBe(true);
    }
    const claims = ofKind('PersistentVolumeClaim').map((one) => one.metadata.name);
    for (const volume of workloads().flatMap((one) => one.spec.template.spec.volumes as Manifest[]))
      if (volume.persistentVolumeClaim) expect(claims).toContain(volume.persistentVolumeClaim.claimName);
  });

  it('start the programs with flags and ports that they have, probed, bounded and without rights', () => {
    expect(containers()).toHaveLength(2);
    for (const one of containers()) {
      const [name, ...words] = one.args as string[];
      const command = name === 'serve' ? serve : gateway;
      expect(command.name).toBe(name);
      const flags = fields(command.schema).map(({ flag }) => `--${flag}`);
      for (const word of words) if (word.startsWith('--')) expect(flags).toContain(word);
      const [port] = one.ports as Manifest[];
      expect(String(port?.containerPort)).toBe(words[words.indexOf('--port') + 1]);
      for (const [probe, route] of [
        ['startupProbe', '/health'],
        ['livenessProbe', '/health'],
        ['readinessProbe', '/health/ready'],
      ] as const)
        expect(one[probe].httpGet).toEqual({ path: route, port: port?.name });
      expect(one.resources.limits.memory).toBeDefined();
      expect(one.securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
      });
    }
    for (const { metadata, spec } of workloads().map((one) => one.spec.template as Manifest)) {
      expect(spec.automountServiceAccountToken).toBe(false);
      expect(metadata.annotations['prometheus.io/port']).toBe(
        String(spec.containers[0].ports[0].containerPort),
      );
    }
    const ports = containers().map((one) => one.ports[0].containerPort as number);
    const opened = ofKind('NetworkPolicy').flatMap((one) =>
      (one.spec.ingress as Manifest[]).flatMap((rule) =>
        (rule.ports as Manifest[]).map(({ port }) => port as number),
      ),
    );
    expect(opened.sort()).toEqual(ports.sort());
    for (const service of ofKind('Service'))
      expect(containers().map((one) => one.ports[0].name)).toContain(service.spec.ports[0].targetPort);
  });

  it('ask for metrics that are published', () => {
    const rules = files.get(path.join('overlays', 'prometheus-adapter', 'adapter-rules.yaml'))?.[0]
      ?.rules as Manifest[];
    const queries = [
      ...rules.flatMap((one) => [one.seriesQuery as string, one.metricsQuery as string]),
      ...ofKind('ScaledObject').flatMap((one) =>
        (one.spec.triggers as Manifest[]).map(({ metadata }) => metadata.query as string),
      ),
    ];
    // Names stand before braces; what stands in quotes is a label's value.
    const names = queries.flatMap(
      (query) => query.replace(/"[^"]*"/g, '').match(/inkstone[:_][a-z_]+/g) ?? [],
    );
    expect(names.length).toBeGreaterThan(8);
    for (const name of names) expect(published, name).toContain(name);
    const given = rules.map((one) => one.name.as as string);
    for (const one of ofKind('HorizontalPodAutoscaler'))
      for (const { pods } of one.spec.metrics as Manifest[]) expect(given).toContain(pods.metric.name);
  });
});
