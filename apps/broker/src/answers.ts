import type { Broker, LiveSession, Principal } from '#mqtt';
import { optionsByte, type LiveAnswer, type LiveClient, type LiveQuestionOfTenant } from '#store';

/** Of one answer: what a dry run of a policy can show besides what the database knows, in at most a few megabytes. */
const bounds = { mostSessions: 5_000, mostSubscriptions: 5_000, mostLetters: 1_000_000 };

/** What this process knows of a tenant's live clients, for the api (decision 0013). */
export async function answerQuestion(
  broker: Broker,
  { tenantId, deviceIds, clientId }: LiveQuestionOfTenant,
): Promise<LiveAnswer> {
  const devices = new Set(deviceIds);
  const concerns = (principal: Principal): boolean =>
    devices.has(principal.deviceId) && (clientId === undefined || clientId === principal.clientId);
  const { sessions, isComplete } = await broker.liveSessions(tenantId, { concerns, ...bounds });
  return { clients: sessions.map(toClient), isComplete };
}

function toClient({ principal, isDurable, subscriptions }: LiveSession): LiveClient {
  const { clientId, deviceId, username, transport, address, certificate } = principal;
  return {
    clientId,
    deviceId,
    username,
    transport: transport ?? null,
    address: address ?? null,
    hasCertificate: certificate !== undefined,
    commonName: certificate?.commonName ?? null,
    isDurable,
    subscriptions: subscriptions.map((subscription) => ({
      filter: subscription.filter,
      options: optionsByte(subscription),
      subscriptionId: subscription.subscriptionId ?? null,
    })),
  };
}
