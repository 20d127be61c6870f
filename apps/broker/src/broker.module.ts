import { randomUUID } from 'node:crypto';

import { type DynamicModule, Module } from '@nestjs/common';

import { type Broker, createBroker } from '#mqtt';
import {
  Counter,
  createMetrics,
  createReadiness,
  Egress,
  productVersion,
  type Readiness,
  type Registry,
} from '#process';
import {
  type BrokerStore,
  ChangeFeed,
  type Directory,
  openBrokerStore,
  openDirectory,
  QuestionDesk,
} from '#store';

import { answerQuestion } from './answers.js';
import { BrokerProcess } from './broker-process.js';
import { applyChange, concernOf } from './changes.js';
import { systemClock } from './clock.js';
import { Following } from './gate/following.js';
import { StoreGate } from './gate/gate.js';
import { RememberingGate } from './gate/remembering-gate.js';
import { Admission, maxConnectionsOf } from './listeners/admission.js';
import { ServerIdentities } from './listeners/identities.js';
import { exposeBroker } from './metrics.js';
import type { BrokerOptions } from './options.js';

const options = Symbol('options');
const processId = Symbol('processId');
const identity = Symbol('identity');
const metrics = Symbol('metrics');
const readiness = Symbol('readiness');
const directory = Symbol('directory');
const egress = Symbol('egress');
const store = Symbol('store');
const following = Symbol('following');
const gate = Symbol('gate');
const remembering = Symbol('remembering');
const broker = Symbol('broker');
const admission = Symbol('admission');
const feed = Symbol('feed');
const questions = Symbol('questions');

/** The composition root: every part is made here, once, from what it needs, and nowhere else. */
@Module({})
export class BrokerModule {
  static with(given: BrokerOptions): DynamicModule {
    return {
      module: BrokerModule,
      providers: [
        { provide: options, useValue: given },
        { provide: processId, useFactory: randomUUID },
        { provide: metrics, useFactory: () => createMetrics('broker') },
        { provide: readiness, useFactory: () => createReadiness('store', 'listeners') },
        { provide: identity, useFactory: readIdentity, inject: [options] },
        { provide: admission, useFactory: () => new Admission(maxConnectionsOf(openFileLimit())) },
        { provide: directory, useFactory: makeDirectory, inject: [options] },
        {
          provide: egress,
          useFactory: (of: BrokerOptions): Egress => new Egress(of.egress),
          inject: [options],
        },
        { provide: store, useFactory: makeStore, inject: [options, processId, directory] },
        { provide: following, useFactory: () => new Following(() => systemClock.now()) },
        {
          provide: gate,
          useFactory: makeGate,
          inject: [options, directory, egress, store, metrics, following],
        },
        { provide: remembering, useFactory: makeRemembering, inject: [gate, following, store, metrics] },
        {
          provide: broker,
          useFactory: makeBroker,
          inject: [options, remembering, store, metrics, admission, directory],
        },
        {
          provide: feed,
          useFactory: makeFeed,
          inject: [options, processId, broker, gate, store, remembering, following],
        },
        { provide: questions, useFactory: makeQuestionDesk, inject: [options, processId, broker] },
        {
          provide: BrokerProcess,
          useFactory: makeProcess,
          inject: [
            options,
            directory,
            store,
            broker,
            feed,
            questions,
            admission,
            identity,
            readiness,
            metrics,
          ],
        },
      ],
    };
  }
}

function readIdentity({ tls, log }: BrokerOptions): Promise<ServerIdentities> {
  return ServerIdentities.open(tls, log);
}

function makeDirectory({ databaseUrl, log }: BrokerOptions): Directory {
  return openDirectory({
    url: databaseUrl,
    onError: (error) => log.warn('directory.trouble', { err: error }),
  });
}

async function makeStore(
  { databaseUrl, log, onLost }: BrokerOptions,
  id: string,
  opened: Directory,
): Promise<BrokerStore> {
  // Before the process registers itself: one that finds the fences between tenants down does not start.
  await opened.verifyFences();
  return openBrokerStore({
    url: databaseUrl,
    processId: id,
    onLeaseLost: () => onLost('lease lost'),
    onTrouble: (error) => log.warn('store.trouble', { err: error }),
  });
}

function makeGate(
  { secretKey, apiUrl, log }: BrokerOptions,
  opened: Directory,
  outside: Egress,
  brokerStore: BrokerStore,
  registry: Registry,
  follows: Following,
): StoreGate {
  const outcomes = new Map<string, number>();
  registry.registerMetric(
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
    directory: opened,
    secretKey,
    apiUrl,
    following: follows,
    egress: outside,
    now: () => systemClock.now(),
    log,
    isStoreDown: () => brokerStore.isDown,
    outcome: (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1),
  });
}

function makeRemembering(
  made: StoreGate,
  follows: Following,
  brokerStore: BrokerStore,
  registry: Registry,
): RememberingGate {
  const { vault } = brokerStore;
  const remembering = new RememberingGate({
    gate: made,
    following: follows,
    now: () => systemClock.now(),
    isFull: () => vault.isFull,
  });
  registry.registerMetric(
    new Counter({
      name: 'moorage_sign_ins_remembered_total',
      help: 'Sign-ins that were let in by what was read before, because nothing has changed since',
      registers: [],
      collect() {
        this.reset();
        this.inc(remembering.readmitted + made.recognised);
      },
    }),
  );
  registry.registerMetric(
    new Counter({
      name: 'moorage_sign_ins_without_store_total',
      help: 'Sign-ins that were let in by the rights of before, while the store could not be asked',
      registers: [],
      collect() {
        this.reset();
        this.inc(remembering.recalled);
      },
    }),
  );
  return remembering;
}

function makeBroker(
  { log, serverReference }: BrokerOptions,
  made: RememberingGate,
  brokerStore: BrokerStore,
  registry: Registry,
  door: Admission,
  opened: Directory,
): Broker {
  const core = createBroker({
    gate: made,
    vault: brokerStore.vault,
    journal: brokerStore.journal,
    news: brokerStore.news,
    clock: systemClock,
    version: `Moorage ${productVersion()}`,
    serverReference,
    onUse: ({ principal, action, topic, rule }) => {
      const { tenantId, deviceId, clientId, username } = principal;
      const at = systemClock.now();
      opened.noteObservation({ tenantId, deviceId, clientId, username, action, topic, rule, at });
    },
    onFault: (error) => log.error('broker.fault', { err: error }),
  });
  exposeBroker(registry, core, door, brokerStore);
  return core;
}

function makeFeed(
  { databaseUrl, log }: BrokerOptions,
  id: string,
  core: Broker,
  made: StoreGate,
  brokerStore: BrokerStore,
  remembered: RememberingGate,
  follows: Following,
): ChangeFeed {
  return new ChangeFeed({
    url: databaseUrl,
    processId: id,
    onSeen: (change) => remembered.forget(concernOf(change)),
    onHeard: (agoMs) => follows.heard(agoMs),
    apply: async (change) => {
      const receipt = await applyChange(core, made, change);
      const { number, kind, tenantId, subject } = change;
      // Whoever reads that a device is gone from here clears up behind it: what it was still to leave must be there by then.
      if (subject['isDeleted'] === true) await brokerStore.drain();
      if (kind === 'device' && typeof subject['deviceId'] === 'string')
        brokerStore.news.deviceChanged(tenantId, subject['deviceId']);
      log.info('change.applied', { number: String(number), kind, tenant: tenantId, ...receipt });
      return receipt;
    },
    onError: (error) => log.warn('changes.trouble', { err: error }),
  });
}

function makeQuestionDesk({ databaseUrl, log }: BrokerOptions, id: string, core: Broker): QuestionDesk {
  return new QuestionDesk({
    url: databaseUrl,
    processId: id,
    answer: (question) => answerQuestion(core, question),
    onError: (error) => log.warn('questions.trouble', { err: error }),
  });
}

function makeProcess(
  given: BrokerOptions,
  opened: Directory,
  brokerStore: BrokerStore,
  core: Broker,
  changes: ChangeFeed,
  asked: QuestionDesk,
  door: Admission,
  server: ServerIdentities,
  ready: Readiness,
  registry: Registry,
): BrokerProcess {
  const { bind, ports, proxyProtocolFrom = [], servesAlone = false, log } = given;
  return new BrokerProcess({
    directory: opened,
    store: brokerStore,
    broker: core,
    changes,
    questions: asked,
    admission: door,
    identity: server,
    readiness: ready,
    metrics: registry,
    bind,
    ports,
    proxyProtocolFrom,
    servesAlone,
    log,
  });
}

/** The soft limit of open files. */
function openFileLimit(): number | 'unlimited' | undefined {
  const report = process.report.getReport() as {
    userLimits?: { open_files?: { soft?: number | 'unlimited' } };
  };
  return report.userLimits?.open_files?.soft;
}
