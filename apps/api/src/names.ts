import { isUniqueViolation } from '#store';
import { nameTaken } from './failure.js';

/** Names are unique in a tenant, and the database is who knows: its refusal becomes the client's error. */
export async function refusingTakenNames<T>(thing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUniqueViolation(error)) throw nameTaken('#/name', `There is a ${thing} of this name.`);
    throw error;
  }
}
