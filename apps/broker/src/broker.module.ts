import { randomUUID } from 'node:crypto';

import { type DynamicModule, type FactoryProvider, Module } from '@nestjs/common';

import { type Broker, createBroker } from '#mqtt';
import { Counter, createMetrics, createReadiness, Egress, productVersion } from '#process';
import {
  type BrokerStore,
  ChangeFeed,
  type Directory,
  openBrokerStore,
  openDirectory,
  QuestionDesk,
} from '#store';

import { answerQuestion } from './answers.js';
import { type BrokerParts, BrokerProcess } from './broker-process.js';
import { applyChange, concernOf } from './changes.js';
import { systemClock } from './clock.js';
import { Following } from './gate/following.js';
import { StoreGate } from './gate/gate.js';
import { RememberingGate } from './gate/remembering-gate.js';
import { Admission, maxConnectionsOf } from './listeners/admission.js';
import { ServerIdentities } from './listeners/identities.js';
import { counter, exposeBroker } from './metrics.js';
import type { BrokerOptions } from './options.js';

/** Every part of the process, by the name under which others ask for it. */
interface Parts extends BrokerParts {
  readonly processId: string;
  readonly egress: Egress;
  readonly following: Following;
  readonly gate: StoreGate;
  readonly rememberingGate: RememberingGate;
  readonly process: BrokerProcess;
}

type Name = keyof Parts;

/** Of all that is there, a part gets what it needs. */
type Needs<Needed extends Name> = Pick<Parts, Needed>;

function part<Made extends Name, Needed extends Name>(
  name: Made,
  needs: readonly Needed[],
  make: (parts: Needs<Needed>) => Parts[Made] | Promise<Parts[Made]>,
): FactoryProvider {
  return {
    provide: name,
    inject: [...needs],
    useFactory: (...found: unknown[]) =>
      make(Object.fromEntries(needs.map((need, index) => [need, found[index]])) as Needs<Needed>),
  };
}

/** The composition root: every part is made here, once, from what it needs, and nowhere else. */
@Module({})
export class BrokerModule {
  static with(options: BrokerOptions): DynamicModule {
    return {
      module: BrokerModule,
      providers: [
        part('options', [], () => options),
        part('processId', [], () => randomUUID()),
        part('metrics', [], () => createMetrics('broker')),
        part('readiness', [], () => createReadiness('store', 'listeners')),
        part('identity', ['options'], ({ options: { tls, log } }) => ServerIdentities.open(tls, log)),
        part('admission', [], () => new Admission(maxConnectionsOf(openFileLimit()))),
        part('egress', ['options'], ({ options: { egress } }) => new Egress(egress)),
        part('directory', ['options'], makeDirectory),
        part('store', ['options', 'processId', 'directory'], makeStore),
        part('following', [], () => new Following(() => systemClock.now())),
        part('gate', ['options', 'directory', 'egress', 'store', 'metrics', 'following'], makeGate),
        part('rememberingGate', ['gate', 'following', 'store', 'metrics'], makeRememberingGate),
        part(
          'broker',
          ['options', 'rememberingGate', 'store', 'metrics', 'admission', 'directory'],
          makeBroker,
        ),
        part(
          'changes',
          ['options', 'processId', 'broker', 'gate', 'rememberingGate', 'store', 'following'],
          makeChangeFeed,
        ),
        part('questions', ['options', 'processId', 'broker'], makeQuestionDesk),
        part(
          'process',
          [
            'options',
            'directory',
            'store',
            'broker',
            'changes',
            'questions',
            'admission',
            'identity',
            'readiness',
            'metrics',
          ],
          (parts) => new BrokerProcess(parts),
        ),
        { provide: BrokerProcess, useExisting: 'process' satisfies Name },
      ],
    };
  }
}

function makeDirectory({ options: { databaseUrl, log } }: Needs<'options'>): Directory {
  return openDirectory({
    url: databaseUrl,
    onError: (error) => log.warn('directory.trouble', { err: error }),
  });
}

async function makeStore({
  options: { databaseUrl, log, onLost },
  processId,
  directory,
}: Needs<'options' | 'processId' | 'directory'>): Promise<BrokerStore> {
  // Before the process registers itself: one that finds the fences between tenants down does not start.
  await directory.verifyFences();
  return openBrokerStore({
    url: databaseUrl,
    processId,
    onLeaseLost: () => onLost('lease lost'),
    onTrouble: (error) => log.warn('store.trouble', { err: error }),
  });
}

function makeGate({
  options: { secretKey, apiUrl, log },
  directory,
  egress,
  store,
  metrics,
  following,
}: Needs<'options' | 'directory' | 'egress' | 'store' | 'metrics' | 'following'>): StoreGate {
  const outcomes = new Map<string, number>();
  metrics.registerMetric(
    new Counter({
      name: 'moorage_sign_ins_total',
      help: 'Sign-ins that reached the gate, by outcome',
      labelNames: ['outcome'],
      registers: [],
      collect() {
        this.reset();
        for (const [outcome, count] of outcomes) this.inc({ outcome }, count);
      },
    }),
  );
  return new StoreGate({
    directory,
    secretKey,
    apiUrl,
    following,
    egress,
    now: () => systemClock.now(),
    log,
    isStoreDown: () => store.isDown,
    outcome: (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1),
  });
}

function makeRememberingGate({
  gate,
  following,
  store: { vault },
  metrics,
}: Needs<'gate' | 'following' | 'store' | 'metrics'>): RememberingGate {
  const remembering = new RememberingGate({
    gate,
    following,
    now: () => systemClock.now(),
    isFull: () => vault.isFull,
  });
  metrics.registerMetric(
    counter(
      'moorage_sign_ins_remembered_total',
      'Sign-ins that were let in by what was read before, because nothing has changed since',
      () => remembering.readmitted + gate.recognised,
    ),
  );
  metrics.registerMetric(
    counter(
      'moorage_sign_ins_without_store_total',
      'Sign-ins that were let in by the rights of before, while the store could not be asked',
      () => remembering.recalled,
    ),
  );
  return remembering;
}

function makeBroker({
  options: { log, serverReference },
  rememberingGate,
  store,
  metrics,
  admission,
  directory,
}: Needs<'options' | 'rememberingGate' | 'store' | 'metrics' | 'admission' | 'directory'>): Broker {
  const broker = createBroker({
    gate: rememberingGate,
    vault: store.vault,
    journal: store.journal,
    news: store.news,
    clock: systemClock,
    version: `Moorage ${productVersion()}`,
    serverReference,
    onUse: ({ principal, action, topic, rule }) => {
      const { tenantId, deviceId, clientId, username } = principal;
      const at = systemClock.now();
      directory.noteObservation({ tenantId, deviceId, clientId, username, action, topic, rule, at });
    },
    onFault: (error) => log.error('broker.fault', { err: error }),
  });
  exposeBroker(metrics, broker, admission, store);
  return broker;
}

function makeChangeFeed({
  options: { databaseUrl, log },
  processId,
  broker,
  gate,
  rememberingGate,
  store,
  following,
}: Needs<
  'options' | 'processId' | 'broker' | 'gate' | 'rememberingGate' | 'store' | 'following'
>): ChangeFeed {
  return new ChangeFeed({
    url: databaseUrl,
    processId,
    // A hundred thousand messages take seconds, and nobody's rights wait for that.
    laneOf: ({ kind, tenantId }) => (kind === 'retained' ? tenantId : undefined),
    onSeen: (change) => rememberingGate.forget(concernOf(change)),
    onHeard: (agoMs) => following.heard(agoMs),
    apply: async (change) => {
      const receipt = await applyChange(broker, gate, change);
      const { number, kind, tenantId, subject } = change;
      // Whoever reads that a device is gone from here clears up behind it: what it was still to leave must be there by then.
      if (subject['isDeleted'] === true) await store.drain();
      if (kind === 'device' && typeof subject['deviceId'] === 'string')
        store.news.deviceChanged(tenantId, subject['deviceId']);
      log.info('change.applied', { number: String(number), kind, tenant: tenantId, ...receipt });
      return receipt;
    },
    onError: (error) => log.warn('changes.trouble', { err: error }),
  });
}

function makeQuestionDesk({
  options: { databaseUrl, log },
  processId,
  broker,
}: Needs<'options' | 'processId' | 'broker'>): QuestionDesk {
  return new QuestionDesk({
    url: databaseUrl,
    processId,
    answer: (question) => answerQuestion(broker, question),
    onError: (error) => log.warn('questions.trouble', { err: error }),
  });
}

/** The soft limit of open files. */
function openFileLimit(): number | 'unlimited' | undefined {
  const report = process.report.getReport() as {
    userLimits?: { open_files?: { soft?: number | 'unlimited' } };
  };
  return report.userLimits?.open_files?.soft;
}
